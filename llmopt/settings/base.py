"""Settings shared by every environment. What differs between machines comes from the environment (.env.example)."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from csp.constants import NONCE, NONE, SELF
from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _

from llmopt.settings.addresses import redis_url

BASE_DIR = Path(__file__).resolve().parents[2]
env = environ.Env()
if (BASE_DIR / ".env").exists():
    env.read_env(BASE_DIR / ".env")

VAR_DIR = Path(env("LLMOPT_VAR_DIR", default=str(BASE_DIR / "var")))
ROLE: str = env("LLMOPT_ROLE", default="web")
# The host of a training or of a model's import calls no provider and opens no team's key, so that it holds no secret
# for either: what a library in it might give away is not there.
HOLDS_PROVIDER_SECRETS = ROLE not in ("host", "fetch")
_database_url: str = env("DATABASE_URL", default="")
EMBEDDED: bool = env.bool("LLMOPT_EMBEDDED", default=not _database_url)

DEBUG = False
SECRET_KEY = env("LLMOPT_SECRET_KEY", default="")
# Newest first: the first encrypts, every one decrypts.
ENCRYPTION_KEYS: list[str] = env.list("LLMOPT_ENCRYPTION_KEYS", default=[]) if HOLDS_PROVIDER_SECRETS else []
ALLOWED_HOSTS: list[str] = env.list("LLMOPT_ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("LLMOPT_CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    # Both must be the plain app configurations: each one's default edits TEMPLATES and undoes the other's loader.
    "django_cotton.apps.SimpleAppConfig",
    "template_partials.apps.SimpleAppConfig",
    "django_htmx",
    "django_q",
    "axes",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "apps.core",
    "apps.accounts",
    "apps.providers",
    "apps.experiments",
    "apps.billing",
    "apps.evaluation",
    "apps.feedback",
    "apps.training",
    "apps.workspace",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "apps.core.middleware.request_id",
    "csp.middleware.CSPMiddleware",
    "apps.core.middleware.admin_content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "apps.accounts.middleware.current_team",
    "axes.middleware.AxesMiddleware",
    "apps.core.middleware.application_errors",
]

ROOT_URLCONF = "llmopt.urls"
WSGI_APPLICATION = "llmopt.wsgi.application"
ASGI_APPLICATION = "llmopt.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "loaders": [
                (
                    "template_partials.loader.Loader",
                    [
                        (
                            "django.template.loaders.cached.Loader",
                            [
                                "django_cotton.cotton_loader.Loader",
                                "django.template.loaders.filesystem.Loader",
                                "django.template.loaders.app_directories.Loader",
                            ],
                        )
                    ],
                )
            ],
            "builtins": ["django_cotton.templatetags.cotton", "template_partials.templatetags.partials"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "apps.workspace.context_processors.shell",
            ],
        },
    }
]
COTTON_DIR = "cotton"

# Not as a URL: a folder may be named with what a URL gives a meaning, such as + or %.
_sqlite: dict[str, Any] = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(VAR_DIR / "llmopt.sqlite3")}
DATABASES = {"default": env.db("DATABASE_URL") if _database_url else _sqlite}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Without immediate transactions two writers that read first meet "database is locked" (docs/operations.md).
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
    }
    # Each request of the web process has a thread of its own: a connection that is kept is never used again.
    DATABASES["default"]["CONN_MAX_AGE"] = 0 if ROLE == "web" else None
else:
    # A connection that is kept, in a pool or by a thread, may be dead: the server was restarted.
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    if ROLE == "web":
        # One for each page at once, and for what looks after event streams and answers probes. The forked workers of a
        # queue cluster would share a pool.
        _pool = {"min_size": 1, "max_size": env.int("LLMOPT_PAGES_AT_ONCE", default=32) + 6, "timeout": 10}
        DATABASES["default"].setdefault("OPTIONS", {})["pool"] = _pool
    else:
        DATABASES["default"]["CONN_MAX_AGE"] = 300
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Counts and answers that several processes share; without it each has its own.
REDIS_URL: str = redis_url(env("REDIS_URL", default=""))
_own_memory = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 5000}}
_shared = {"BACKEND": "apps.core.shared_cache.SharedCache", "LOCATION": REDIS_URL, "KEY_PREFIX": "llmopt"}
CACHES: dict[str, dict[str, Any]] = {"default": _shared if REDIS_URL else _own_memory}

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": VAR_DIR / "uploads"}},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "artifacts": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": VAR_DIR / "artifacts"},
    },
}
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = VAR_DIR / "static"

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "sign_in"
LOGIN_REDIRECT_URL = "start"
LOGOUT_REDIRECT_URL = "sign_in"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_USERNAME_FORM_FIELD = "username"
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False
# It would keep every sign-in for ever, and the tokens of links with them; the audit trail has what matters.
AXES_DISABLE_ACCESS_LOG = True
AXES_LOCKOUT_CALLABLE = "apps.accounts.views.signing_in.locked_out"
CSRF_FAILURE_VIEW = "apps.core.error_pages.csrf_failure"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "manifest-src": [SELF],
    }
}
# The admin theme evaluates its own attribute expressions and sets inline styles; docs/security.md argues this.
ADMIN_CONTENT_SECURITY_POLICY = {
    "script-src": [SELF, "'unsafe-eval'", NONCE],
    "style-src": [SELF, "'unsafe-inline'"],
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.accounts.api.authentication.BearerAuthentication",
        # With a session alone a write needs the CSRF token: no other site can make a browser send a header.
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["apps.core.api.permissions.SignedInWithinScope"],
    "DEFAULT_THROTTLE_CLASSES": ["apps.core.api.throttles.PerCaller"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["apps.core.api.parsing.BoundedJSONParser"],
    "EXCEPTION_HANDLER": "apps.core.problems.problem_response",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "DEFAULT_SCHEMA_CLASS": "apps.core.api.openapi.RequestSchema",
}
# In a minute: calls of one API key or person, and sign-ins from one address. 0: no limit.
API_REQUESTS_PER_MINUTE: int = env.int("LLMOPT_API_REQUESTS_PER_MINUTE", default=600)
SIGN_IN_TRIES_PER_MINUTE: int = env.int("LLMOPT_SIGN_IN_TRIES_PER_MINUTE", default=20)
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=env.int("LLMOPT_ACCESS_TOKEN_MINUTES", default=10)),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=env.int("LLMOPT_REFRESH_TOKEN_DAYS", default=14)),
}
API_DESCRIPTION = """
Send an API key of your team (*Settings, API keys*) or an access token (`POST auth/token`) as `Authorization: Bearer …`.
A key acts in its team, as its person, within its scopes: `read` for what is got, `write` for what is changed,
`generate` to call models. Or sign in on `/sign-in/` and send the session cookie; a write then also sends the cookie
`csrftoken` as the header `X-CSRFToken`.

What takes long is a job: the answer is 202 with a `Location` to follow until its `status` is `succeeded` or `failed`.
Lists are pages: `limit` says how many rows, `next` and `previous` are addresses or null. Errors are problem documents
(RFC 9457) with a stable `code`. Money is in whole nano-dollars, time is UTC.
"""
SPECTACULAR_SETTINGS = {
    "TITLE": "LLMOpt",
    "DESCRIPTION": API_DESCRIPTION,
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    # A body has a shape of its own, and a PATCH needs what its shape needs.
    "COMPONENT_SPLIT_REQUEST": True,
    "COMPONENT_SPLIT_PATCH": False,
    # The document is for everybody, also for a program whose token has ended.
    "SERVE_AUTHENTICATION": [],
    # Served by the product itself: the content security policy allows no other host.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# The queue carries ids only. A task is acknowledged even when it failed: the job row says what to do next.
# A slice works for a minute and may then wait two for a call that is under way; retry must outlast a full queue.
_CLUSTER = {
    "orm": "default",
    "timeout": 240,
    "retry": 1800,
    "ack_failures": True,
    "max_attempts": 1,
    "save_limit": -1,
    "queue_limit": 20,
    "bulk": 1,
    "poll": 0.2,
    "catch_up": False,
    "guard_cycle": 0.5,
    "scheduler": False,
}
Q_CLUSTER_NAME = env("Q_CLUSTER_NAME", default="worker")
Q_CLUSTER = {
    **_CLUSTER,
    "name": "worker",
    "workers": env.int("LLMOPT_WORKERS", default=3),
    # Two workers: one ticks for a minute at a time, the other answers what else comes.
    "ALT_CLUSTERS": {"housekeeping": {**_CLUSTER, "workers": 2, "scheduler": True, "poll": 0.5}},
}

INFERENCE_URL: str = env("LLMOPT_INFERENCE_URL", default="http://127.0.0.1:8710/v1")
INFERENCE_TOKEN_FILE = VAR_DIR / "run" / "inference-token"
# Keys that the operator offers to every team, and where those providers are then reached; empty: the provider itself.
PROVIDER_API_KEYS: dict[str, str] = {
    "openai": env("OPENAI_API_KEY", default="").strip() if HOLDS_PROVIDER_SECRETS else "",
    "anthropic": env("ANTHROPIC_API_KEY", default="").strip() if HOLDS_PROVIDER_SECRETS else "",
}
PROVIDER_BASE_URLS: dict[str, str] = {
    "openai": env("OPENAI_BASE_URL", default="").strip(),
    "anthropic": env("ANTHROPIC_BASE_URL", default="").strip(),
}
# Private or loopback hosts that the address of a compatible server may name all the same.
PROVIDER_HOSTS: list[str] = env.list("LLMOPT_PROVIDER_HOSTS", default=[])
TRAINING_THREADS: int = env.int("LLMOPT_TRAINING_THREADS", default=0)
# What a training may need at most, whatever the machine has free: its check refuses more. 0: no such limit.
TRAINING_MEMORY_MIB: int = env.int("LLMOPT_TRAINING_MEMORY_MIB", default=0)
# What one hour of this machine is assumed to cost until the team says otherwise, in nano-dollars (0.10 USD).
LOCAL_NANOUSD_PER_HOUR: int = env.int("LLMOPT_LOCAL_NANOUSD_PER_HOUR", default=100_000_000)
# Of one call through /v1: its longest time, and its bound of new tokens where the caller names none.
GATEWAY_SECONDS: int = env.int("LLMOPT_GATEWAY_SECONDS", default=300)
GATEWAY_MAX_TOKENS: int = env.int("LLMOPT_GATEWAY_MAX_TOKENS", default=1024)
# Where alerts about budgets may go: private or loopback hosts that the address of a webhook may name all the same.
WEBHOOK_HOSTS: list[str] = env.list("LLMOPT_WEBHOOK_HOSTS", default=[])
# The server that takes mail, as smtp+tls://user:password@host:587. Without one no mail is sent, and pages say so.
_email_url: str = env("LLMOPT_EMAIL_URL", default="").strip()
MAIL_AVAILABLE = bool(_email_url)
if MAIL_AVAILABLE:
    vars().update(env.email_url_config(_email_url))
EMAIL_TIMEOUT = 5
DEFAULT_FROM_EMAIL: str = env("LLMOPT_EMAIL_FROM", default="LLMOpt <llmopt@localhost>")
# Where people reach this installation, for links in what is sent; without it messages name the page and link nowhere.
PUBLIC_URL: str = env("LLMOPT_PUBLIC_URL", default="").strip().rstrip("/")
# For how many days an answer may be given again to an equal question; 0 for as long as nobody deletes it.
RESPONSE_CACHE_DAYS: int = env.int("LLMOPT_RESPONSE_CACHE_DAYS", default=0)

# Files that people send. A scanner that is required and gives no verdict means that nothing is accepted.
UPLOAD_MAX_BYTES: int = env.int("LLMOPT_UPLOAD_MAX_BYTES", default=50_000_000)
CLAMAV_SOCKET: str = env("LLMOPT_CLAMAV_SOCKET", default="")
CLAMAV_REQUIRED: bool = env.bool("LLMOPT_CLAMAV_REQUIRED", default=False)

# Where people may take models from on this machine, and how large a model may be that they send.
MODEL_FOLDERS: list[str] = env.list("LLMOPT_MODEL_FOLDERS", default=[])
MODEL_UPLOAD_MAX_BYTES: int = env.int("LLMOPT_MODEL_UPLOAD_MAX_BYTES", default=2 * 10**9)

JOB_HEARTBEAT_SECONDS = 3
JOB_DEAD_AFTER_SECONDS = 20
JOB_REQUEUE_AFTER_SECONDS = 30
EVALUATION_SLICE_SECONDS = 60
EVALUATION_CONCURRENCY: int = env.int("LLMOPT_EVALUATION_CONCURRENCY", default=16)

# What they say below a warning is noise; of apprise and urllib3 it holds the addresses of chats, which are secrets.
QUIET_LOGGERS = ("django.server", "django-q", "axes", "psycopg.pool", "httpx2", "apprise", "urllib3")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "apps.core.logs.JsonFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env("LLMOPT_LOG_LEVEL", default="INFO")},
    "loggers": {name: {"level": "WARNING"} for name in QUIET_LOGGERS},
}

UNFOLD = {
    "SITE_TITLE": _("LLMOpt operators"),
    "SITE_HEADER": _("LLMOpt operators"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("icons/llmopt.svg")}],
    "SHOW_VIEW_ON_SITE": False,
}
SILENCED_SYSTEM_CHECKS: list[str] = []
