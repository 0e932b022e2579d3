"""Look at results and correct them: report, viewer, figures, measurements."""
