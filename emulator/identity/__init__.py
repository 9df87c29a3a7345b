"""Entra ID as Azure's credentials speak to it: applications and managed identities get signed tokens."""
