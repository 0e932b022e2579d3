"""From files to results: training, sorting, studies, batches, streams."""
