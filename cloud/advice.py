"""What a person can do about an error, in one sentence."""

from cloud.errors import ErrorKind

_ROLES = {
    "batch": "Azure Batch Data Contributor (or Contributor) on the Batch account",
    "registry": "AcrPull on the registry (with repository permissions: Container Registry Repository Reader)",
    "storage": "Storage Blob Data Contributor on the storage account",
}
_ENTRA = {
    "AADSTS7000215": "The client secret is wrong: use the secret's value, not its id.",
    "AADSTS7000222": "The client secret has expired: make a new one in Entra ID and enter it here.",
    "AADSTS700016": "The application does not exist in this tenant: check client id and tenant id.",
    "AADSTS90002": "The tenant does not exist: check the tenant id.",
    "AADSTS500011": "The service is not known to this tenant: check the audience.",
    "CredentialUnavailableError": "No identity was found on this machine: set one up or choose another credential.",
}
_CODES = {
    "KeyBasedAuthenticationNotPermitted": "The account forbids its keys: use an Entra identity.",
    "AuthorizationFailure": "A firewall or network rule of the account refuses this machine.",
    "AccountIsDisabled": "The account is disabled in Azure.",
    "PoolQuotaReached": "Delete a pool or ask Azure for a higher pool quota.",
    "ActiveJobAndScheduleQuotaReached": "Finish or delete active jobs, or ask Azure for a higher quota.",
}
_WRONG_KEY = {
    "batch": "The Batch account refuses the credential: check account name and key or identity, and whether the "
    "account allows this kind of authentication.",
    "registry": "The registry refuses the credential: check user name and password, or the identity.",
    "storage": "The storage account refuses the credential: check account name and key, or the SAS and its end.",
}
_BY_KIND: dict[ErrorKind, str] = {
    "clock": "Correct the time of this machine.",
    "tls": "Add the certificate's issuer to the CA bundle of this connection, or correct the address.",
    "unreachable": "Check the address, the name service and the network.",
    "throttled": "Azure asks to wait; it is tried again later.",
}


def advice_for(service: str, kind: ErrorKind, code: str, message: str) -> str:
    """Return what to do, or an empty text when the error speaks for itself."""
    for known, text in (_ENTRA | _CODES).items():
        if known == code or known in message:
            return text
    if kind == "permission":
        return f"The identity needs the role {_ROLES[service]}."
    if kind == "authentication":
        return _WRONG_KEY[service]
    return _BY_KIND.get(kind, "")
