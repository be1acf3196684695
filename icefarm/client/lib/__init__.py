"""The names that scripts for earlier versions of icefarm import; new scripts use `icefarm.client.Farm`."""
