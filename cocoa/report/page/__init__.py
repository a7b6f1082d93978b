"""Self-contained HTML pages: templates, one style, and figures as SVG."""
