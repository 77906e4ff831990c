"""A synthetic cohort of 2D sections in four modalities, some with a nodule."""
