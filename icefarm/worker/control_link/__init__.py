"""The session between worker and control: hello, heartbeats, reports, procedures.

Look here when worker and control disagree.
"""
