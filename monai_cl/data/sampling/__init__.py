"""What comes next: positions, cases and patients, addressed by seed and epoch."""
