"""Golden behaviour: what one commit computes, prints and writes, recorded and compared with another commit."""
