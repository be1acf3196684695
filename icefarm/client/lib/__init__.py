"""The API of icefarm 0.1.x, for existing scripts.  Look here for its names; new scripts use `icefarm.client.Farm`."""

from icefarm.client.lib.AbstractEventHandler import AbstractEventHandler, register
from icefarm.client.lib.BaseAPI import BaseAPI
from icefarm.client.lib.BaseClient import BaseClient
from icefarm.client.lib.EventServer import Event, EventServer

__all__ = ["AbstractEventHandler", "BaseAPI", "BaseClient", "Event", "EventServer", "register"]
