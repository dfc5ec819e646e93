"""The parts that a statement of the ledger has in common with its other forms."""

from apps.billing.engine.ledger_facts import Hold, Moment, Spent

# Open budgets `b` of the team, and of what a call is for and from.
COVERING = (
    "b.team_id = %s AND b.closed_at IS NULL "
    "AND (b.experiment_id IS NULL OR b.experiment_id = %s) AND (b.person_id IS NULL OR b.person_id = %s) "
    "AND (b.api_key_id IS NULL OR b.api_key_id = %s)"
)

RESERVATION_COLUMNS = (
    "uid, created_at, team_id, experiment_id, language_model_id, price_id, person_id, api_key_id, provider_key_id, "
    "purpose, attempt, state, held_nanousd, expires_at, holder, sent_at"
)
RESERVATION_MARKS = "%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'held', %s, %s, %s, %s"

ENTRY_COLUMNS = (
    "uid, created_at, team_id, reservation_id, kind, amount_nanousd, saved_nanousd, experiment_id, language_model_id, "
    "price_id, person_id, api_key_id, purpose, prompt_tokens, completion_tokens, cached_prompt_tokens, "
    "reasoning_tokens, compute_seconds, latency_ms, evidence"
)
# To be selected from the entry's reservation.
ENTRY_MARKS = (
    "%s, %s, team_id, id, %s, %s, 0, experiment_id, language_model_id, price_id, person_id, api_key_id, purpose, "
    "%s, %s, %s, %s, %s, %s, %s"
)


def covering_values(hold: Hold) -> tuple[object, ...]:
    return (hold.team_id, hold.experiment_id, hold.person_id, hold.api_key_id)


def reservation_values(at: Moment, hold: Hold) -> tuple[object, ...]:
    return (
        hold.uid or at.new_uid(),
        at.now,
        hold.team_id,
        hold.experiment_id,
        hold.language_model_id,
        hold.price_id,
        hold.person_id,
        hold.api_key_id,
        hold.provider_key_id,
        hold.purpose,
        hold.attempt,
        hold.amount_nanousd,
        hold.expires_at,
        hold.holder,
        at.now if hold.leaves else None,
    )


def entry_values(at: Moment, uid: str, kind: str, spent: Spent) -> tuple[object, ...]:
    return (
        uid,
        at.now,
        kind,
        spent.amount_nanousd,
        spent.prompt_tokens,
        spent.completion_tokens,
        spent.cached_prompt_tokens,
        spent.reasoning_tokens,
        spent.compute_seconds,
        spent.latency_ms,
        spent.evidence,
    )
