"""The OpenAI-compatible endpoint `/v1`: models of every kind inside a team's budgets, for any client that speaks it."""
