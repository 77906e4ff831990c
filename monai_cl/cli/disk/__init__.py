"""Commands on what lies on the disk: runs and stores."""
