"""Something that an open page may want to show again."""

from django.db import models


class LiveEvent(models.Model):
    """`topic` names an object (`experiment:<uid>`), `part` what of it changed. Kept for an hour."""

    team_id: int
    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, related_name="+")
    topic = models.CharField(max_length=80)
    part = models.CharField(max_length=40)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.topic} {self.part}"
