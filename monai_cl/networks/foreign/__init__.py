"""Files of weights of any origin: read without running code, under the names of the network they are for."""
