"""WAMP procedures of control: what clients, workers and the page may call.

Look here for a call that control answers.
"""
