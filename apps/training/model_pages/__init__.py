"""The pages of models: what a team can call, and what is known of each. They show figures of every app below."""
