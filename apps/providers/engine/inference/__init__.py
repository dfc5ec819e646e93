"""The inference process: local models behind a port that speaks OpenAI's chat completions.

``python -m apps.providers.engine.inference --models DIR`` starts it. It imports neither Django nor, unless a model
needs the transformers backend, torch.
"""
