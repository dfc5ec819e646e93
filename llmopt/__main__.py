"""`python -m llmopt COMMAND` is `python manage.py COMMAND` from any directory."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmopt.settings.dev")
    from django.core.management import execute_from_command_line

    execute_from_command_line([f"{sys.executable} -m llmopt", *sys.argv[1:]])


if __name__ == "__main__":
    main()
