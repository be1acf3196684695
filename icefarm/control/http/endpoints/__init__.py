"""The endpoints of the HTTP API: what each is asked, and which procedure carries it out.

Look here to add one: its request is a class, and beside it stands the endpoint.
"""
