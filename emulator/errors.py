"""The errors of the Batch service: code, status, sentence, details, in the service's own body."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

# Code -> (status, sentence). Statuses are documented; sentences beyond the recorded ones follow their pattern.
CATALOGUE: Mapping[str, tuple[int, str]] = {
    "AuthenticationFailed": (
        403,
        "Server failed to authenticate the request. Make sure the value of Authorization header is formed "
        "correctly including the signature.",
    ),
    "AutoScalingFormulaSyntaxError": (400, "The specified auto-scaling formula has a syntax error."),
    "AutoScaleFormulaTooLong": (400, "The specified auto-scaling formula is too long."),
    "ConditionNotMet": (412, "The condition specified using HTTP conditional header(s) is not met."),
    "FileNotFound": (404, "The specified file does not exist."),
    "InternalError": (500, "Server encountered an internal error. Please try again after some time."),
    "InvalidAuthenticationInfo": (
        401,
        "The authentication information was not provided in the correct format. Verify the value of "
        "Authorization header.",
    ),
    "InvalidAutoScalingSettings": (400, "The specified auto-scaling settings are invalid."),
    "InvalidHeaderValue": (400, "The value for one of the HTTP headers is not in the correct format."),
    "InvalidPropertyValue": (
        400,
        "The value provided for one of the properties in the request body is invalid.",
    ),
    "InvalidQueryParameterValue": (
        400,
        "Value for one of the query parameters specified in the request URI is invalid.",
    ),
    "InvalidRange": (416, "The range specified is invalid for the current size of the resource."),
    "InvalidRequestBody": (400, "The specified Request Body is not syntactically valid."),
    "InvalidUri": (400, "The requested URI does not represent any resource on the server."),
    "JobBeingDeleted": (409, "The specified job is being deleted."),
    "JobBeingTerminated": (409, "The specified job is being terminated."),
    "JobCompleted": (409, "The specified job is already in a completed state."),
    "JobDisabled": (409, "The specified job is disabled."),
    "JobExists": (409, "The specified job already exists."),
    "JobNotActive": (409, "The specified job is not in an active state."),
    "JobNotFound": (404, "The specified job does not exist."),
    "JobPreparationTaskOrReleaseTaskNotSpecified": (
        409,
        "The specified job does not have either job preparation task or job release task.",
    ),
    "MetadataTooLarge": (400, "The size of the specified metadata exceeds the maximum size permitted."),
    "MissingContentLengthHeader": (411, "Content-Length header was not specified."),
    "MissingRequiredProperty": (
        400,
        "One of the required properties was not specified in the request body.",
    ),
    "MissingRequiredQueryParameter": (
        400,
        "A query parameter that's mandatory for this request is not specified.",
    ),
    "MultipleConditionHeadersNotSupported": (400, "Multiple condition headers are not supported."),
    "NodeAlreadyInTargetSchedulingState": (
        409,
        "The specified node is already in the target scheduling state.",
    ),
    "NodeBeingCreated": (409, "The specified node is being created."),
    "NodeBeingRebooted": (409, "The specified node is being rebooted."),
    "NodeBeingReimaged": (409, "The specified node is being reimaged."),
    "NodeBeingStarted": (409, "The specified node is being started."),
    "NodeNotFound": (404, "The specified node does not exist."),
    "NodeStateUnusable": (409, "The specified node is in an unusable state."),
    "NotImplemented": (501, "The emulator does not implement this operation of the service."),
    "OperationInvalidForCurrentState": (
        409,
        "The specified operation is not valid for the current state of the resource.",
    ),
    "OperationNotValidOnNode": (409, "The specified operation is not valid on the node."),
    "OperationNotValidOnPool": (409, "The specified operation is not valid on the pool."),
    "OutOfRangeInput": (400, "One of the request inputs is out of range."),
    "PoolBeingDeleted": (409, "The specified pool is being deleted."),
    "PoolBeingResized": (409, "The specified pool is being resized."),
    "PoolExists": (409, "The specified pool already exists."),
    "PoolNotFound": (404, "The specified pool does not exist."),
    "RequestBodyTooLarge": (
        413,
        "The request body is too large and exceeds the maximum permissible limit.",
    ),
    "TaskCompleted": (409, "The specified task is already in a completed state."),
    "TaskDependenciesNotSpecifiedOnJob": (
        400,
        "The specified task has dependencies, but the job does not use task dependencies.",
    ),
    "TaskExists": (409, "The specified task already exists."),
    "TaskFilesCleanedup": (409, "The files of the specified task have been cleaned up."),
    "TaskFilesUnavailable": (409, "The files of the specified task are not available on the node."),
    "TaskIdSameAsJobPreparationTask": (
        409,
        "The specified task id is the same as that of the job preparation task.",
    ),
    "TaskIdSameAsJobReleaseTask": (409, "The specified task id is the same as that of the job release task."),
    "TaskNotCompleted": (409, "The specified task has not completed."),
    "TaskNotFound": (404, "The specified task does not exist."),
    "TaskSucceeded": (409, "The specified task has succeeded."),
    "TooManyEnableAutoScaleRequests": (503, "Auto-scaling was enabled on the pool too recently."),
    "UnsupportedHttpVerb": (405, "The resource doesn't support the specified HTTP verb."),
    "UnsupportedRequestVersion": (
        400,
        "The request version specified in the request URI is not supported by the server.",
    ),
}


class BatchError(Exception):
    """Refuse a request with one of the service's codes; details become the body's `values`."""

    def __init__(self, code: str, **values: object) -> None:
        self.code = code
        self.status, self.sentence = CATALOGUE[code]
        self.values = [{"key": key, "value": str(value)} for key, value in values.items()]
        super().__init__(f"({code}) {self.sentence} {values or ''}".rstrip())

    def body(self, *, request_id: str, now: datetime) -> dict[str, Any]:
        """Return the error object without `odata.metadata`, as it also stands in a task collection's result."""
        time = now.strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
        value = f"{self.sentence}\nRequestId:{request_id}\nTime:{time}"
        body: dict[str, Any] = {"code": self.code, "message": {"lang": "en-US", "value": value}}
        if self.values:
            body["values"] = self.values
        return body


def missing(name: str) -> BatchError:
    """Say that a required member of the body is absent."""
    return BatchError("MissingRequiredProperty", PropertyName=name)


def invalid(name: str, value: object, reason: str) -> BatchError:
    """Say that a member of the body has a value that the service refuses."""
    return BatchError("InvalidPropertyValue", PropertyName=name, PropertyValue=value, Reason=reason)


def invalid_query(name: str, value: object, reason: str) -> BatchError:
    """Say that a query parameter has a value that the service refuses."""
    return BatchError(
        "InvalidQueryParameterValue",
        QueryParameterName=name,
        QueryParameterValue=value,
        Reason=reason,
    )
