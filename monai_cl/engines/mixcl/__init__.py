"""MixCL pre-training: patches, batches, evaluation."""
