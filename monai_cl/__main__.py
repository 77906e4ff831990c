"""``python -m monai_cl``."""

from monai_cl.cli.commands import main

if __name__ == "__main__":
    main()
