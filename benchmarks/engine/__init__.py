"""Parts of the side-by-side benchmark `benchmarks/engine_speed.py`: one file a question, peers beside the engine."""
