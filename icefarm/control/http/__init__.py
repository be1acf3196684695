"""HTTP of control: the API for curl and other languages, the page, metrics.  Look here for anything under http://."""
