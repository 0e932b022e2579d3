"""Complete workflows on files: training, sorting, studies, batches, streams."""
