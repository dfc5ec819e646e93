"""Audit events in words."""

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

VERBS: dict[str, Promise] = {
    "team.created": gettext_lazy("created the team"),
    "team.text_may_leave_set": gettext_lazy("decided whether text may be sent to other companies"),
    "user.created": gettext_lazy("created the account %(email)s"),
    "membership.added": gettext_lazy("added %(email)s to the team"),
    "membership.role_changed": gettext_lazy("changed the role of %(email)s"),
    "membership.removed": gettext_lazy("took %(email)s out of the team"),
    "user.updated": gettext_lazy("changed an account"),
    "user.signed_in": gettext_lazy("signed in"),
    "user.password_changed": gettext_lazy("changed a password"),
    "user.programs_signed_out": gettext_lazy("had all programs of an account signed out"),
    "token_family.revoked": gettext_lazy("signed a program out"),
    "token_family.reused": gettext_lazy("sent a refresh token a second time, and the program was signed out"),
    "sign_in_link.created": gettext_lazy("made a sign-in link"),
    "api_key.created": gettext_lazy("made the API key %(name)s"),
    "api_key.changed": gettext_lazy("changed the API key %(name)s"),
    "api_key.revoked": gettext_lazy("revoked the API key %(name)s"),
    "api_key.used": gettext_lazy("used the API key %(name)s from %(address)s"),
    "dataset.created": gettext_lazy("added the dataset %(name)s"),
    "dataset_version.created": gettext_lazy("imported version %(number)s of a dataset"),
    "dataset_version.derived": gettext_lazy("made version %(number)s of a dataset from an earlier one"),
    "dataset.renamed": gettext_lazy("renamed the dataset %(before)s to %(name)s"),
    "dataset.deleted": gettext_lazy("deleted the dataset %(name)s"),
    "dataset.test_set_drawn": gettext_lazy("drew a fresh test set: %(name)s"),
    "prompt.created": gettext_lazy("added the prompt %(name)s"),
    "prompt.renamed": gettext_lazy("renamed the prompt %(before)s to %(name)s"),
    "prompt.described": gettext_lazy("changed the description of the prompt %(name)s"),
    "prompt.deleted": gettext_lazy("deleted the prompt %(name)s"),
    "prompt_label.set": gettext_lazy("let the label %(label)s of the prompt %(name)s point at version %(number)s"),
    "prompt_label.removed": gettext_lazy("removed the label %(label)s of the prompt %(name)s"),
    "upload.received": gettext_lazy("uploaded the file %(name)s"),
    "upload.inspected": gettext_lazy("read through the file %(name)s"),
    "upload.refused": gettext_lazy("refused the file %(name)s: %(reason)s"),
    "upload.cancelled": gettext_lazy("cancelled the reading of a file"),
    "upload.paused": gettext_lazy("paused the reading of a file"),
    "upload.resumed": gettext_lazy("resumed the reading of a file"),
    "dataset_import.created": gettext_lazy("began to import rows into the dataset %(name)s"),
    "dataset_import.staged": gettext_lazy("checked every row for the dataset %(name)s"),
    "datasetimport.cancelled": gettext_lazy("cancelled an import"),
    "datasetimport.paused": gettext_lazy("paused an import"),
    "datasetimport.resumed": gettext_lazy("resumed an import"),
    "dataset_import.accepted": gettext_lazy("made version %(number)s of the dataset %(name)s from a file"),
    "prompt_version.created": gettext_lazy("added version %(number)s of the prompt %(name)s"),
    "experiment.created": gettext_lazy("set up the experiment %(name)s"),
    "candidate.added": gettext_lazy("added the candidate %(name)s"),
    "experiment.registered": gettext_lazy("registered an experiment: its definition is frozen"),
    "experiment.finished": gettext_lazy("finished an experiment"),
    "language_model.created": gettext_lazy("added the model %(name)s"),
    "language_model.ready": gettext_lazy("made a model ready"),
    "language_model.failed": gettext_lazy("could not make a model ready"),
    "language_model.planned_again": gettext_lazy("took up the making of a model again"),
    "language_model.tried": gettext_lazy("tried a model"),
    "model_fetch.started": gettext_lazy("began to add the model %(name)s"),
    "model_fetch.finished": gettext_lazy("added a model"),
    "model_fetch.refused": gettext_lazy("could not add a model: %(error)s"),
    "modelfetch.cancelled": gettext_lazy("cancelled the import of a model"),
    "modelfetch.paused": gettext_lazy("paused the import of a model"),
    "modelfetch.resumed": gettext_lazy("resumed the import of a model"),
    "model_version.alias_set": gettext_lazy("pointed %(alias)s at version %(to)s of a model"),
    "model_version.alias_removed": gettext_lazy("took the alias %(alias)s off a model"),
    "model_version.registered": gettext_lazy("registered a trained model"),
    "training_run.created": gettext_lazy("planned the training run %(name)s"),
    "training_run.started": gettext_lazy("started a training run"),
    "quickstart.started": gettext_lazy("started the quickstart"),
    "experiment.changed": gettext_lazy("changed the definition of the experiment %(name)s"),
    "experiment.notes_set": gettext_lazy("wrote notes on an experiment"),
    "experiment.reference_set": gettext_lazy("made %(name)s the reference of an experiment"),
    "candidate.removed": gettext_lazy("took back the candidate %(name)s"),
    "experimentrun.started": gettext_lazy("started an experiment"),
    "evaluation.created": gettext_lazy("planned an evaluation on %(examples)s examples"),
    "evaluation.started": gettext_lazy("started an evaluation"),
    "evaluation.finished": gettext_lazy("finished an evaluation with %(outputs)s outputs"),
    "budget.created": gettext_lazy("set a budget"),
    "budget.limit_changed": gettext_lazy("changed a budget's limit"),
    "price.created": gettext_lazy("set a price"),
    "reservation.overrun": gettext_lazy("booked a call that cost more than was held for it"),
    "evaluation.cancelled": gettext_lazy("cancelled an evaluation"),
    "evaluation.paused": gettext_lazy("paused an evaluation"),
    "evaluation.resumed": gettext_lazy("resumed an evaluation"),
    "preflight.started": gettext_lazy("asked what a training run would take"),
    "preflight.cancelled": gettext_lazy("cancelled the check of a training run"),
    "preflight.paused": gettext_lazy("paused the check of a training run"),
    "preflight.resumed": gettext_lazy("resumed the check of a training run"),
    "trainingrun.cancelled": gettext_lazy("cancelled a training run"),
    "trainingrun.paused": gettext_lazy("paused a training run"),
    "trainingrun.resumed": gettext_lazy("resumed a training run"),
    "quickstart.cancelled": gettext_lazy("cancelled the quickstart"),
    "quickstart.paused": gettext_lazy("paused the quickstart"),
    "experimentrun.cancelled": gettext_lazy("cancelled an experiment"),
    "experimentrun.paused": gettext_lazy("paused an experiment"),
    "experimentrun.resumed": gettext_lazy("resumed an experiment"),
    "quickstart.resumed": gettext_lazy("resumed the quickstart"),
}


def activity_text(verb: str, facts: Mapping[str, Any]) -> str:
    """The event as the rest of a sentence after who did it; a verb that the table lacks stands as it was written."""
    if verb not in VERBS:
        return verb.replace(".", ": ").replace("_", " ")
    known = {key: value if value not in (None, "") else _("something") for key, value in facts.items()}
    try:
        return str(VERBS[verb]) % known
    except KeyError:
        return verb.replace(".", ": ").replace("_", " ")
