"""The page on which the REST API is read and tried. All of it comes from this server, and no script is inline."""

from drf_spectacular.views import SpectacularSwaggerSplitView


class DocsView(SpectacularSwaggerSplitView):
    template_name = "api_docs.html"
