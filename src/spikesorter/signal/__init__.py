"""Arrays in, arrays out: filters, noise, templates, wavelets, matched filters."""
