"""What stands before MONAI Label's application: hosts, origins, token, names of every parameter."""
