"""The names that scripts for earlier versions of icefarm import; new scripts use `icefarm.client.Farm`."""

from icefarm.client.lib.AbstractEventHandler import AbstractEventHandler, register
from icefarm.client.lib.BaseAPI import BaseAPI
from icefarm.client.lib.BaseClient import BaseClient
from icefarm.client.lib.EventServer import Event, EventServer

__all__ = ["AbstractEventHandler", "BaseAPI", "BaseClient", "Event", "EventServer", "register"]
