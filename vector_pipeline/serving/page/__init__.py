"""The search page: HTML, styles and scripts as they are, without a build."""
