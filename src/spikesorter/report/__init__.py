"""Display and correction of results: report, viewer, figures, measurements."""
