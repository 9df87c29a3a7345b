"""The JSON types of the bodies that clients send: what the service could not read at all is refused here, in one place.

The service reads bodies by its OData model and refuses a body that does not fit it as a whole: `InvalidRequestBody`
with a `Reason` such as "Cannot convert a primitive value to the expected type 'Edm.String'". Members that the model
does not know are let through, as older versions have others.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emulator.errors import BatchError, missing

# A type and its members: `!` marks what must be there, no type means text, `[]` a list, `object` one of any content.
# Dates, durations and enumerations are text. What pools, jobs and tasks themselves must have, their handlers check.
_TABLE = """
Pool id displayName vmSize virtualMachineConfiguration:VirtualMachineConfiguration resizeTimeout
    targetDedicatedNodes:int targetLowPriorityNodes:int enableAutoScale:bool autoScaleFormula
    autoScaleEvaluationInterval enableInterNodeCommunication:bool networkConfiguration:NetworkConfiguration
    startTask:StartTask applicationPackageReferences:ApplicationPackageReference[] taskSlotsPerNode:int
    taskSchedulingPolicy:TaskSchedulingPolicy userAccounts:UserAccount[] metadata:MetadataItem[]
    mountConfiguration:MountConfiguration[] upgradePolicy:UpgradePolicy
PoolResize targetDedicatedNodes:int targetLowPriorityNodes:int resizeTimeout nodeDeallocationOption
PoolAutoScale autoScaleFormula autoScaleEvaluationInterval
NodeRemove nodeList:[] resizeTimeout nodeDeallocationOption
NodeAction nodeRebootOption nodeReimageOption nodeDisableSchedulingOption
Job id displayName usesTaskDependencies:bool priority:int allowTaskPreemption:bool maxParallelTasks:int
    constraints:JobConstraints jobManagerTask:JobManagerTask jobPreparationTask:JobPreparationTask
    jobReleaseTask:JobReleaseTask commonEnvironmentSettings:EnvironmentSetting[] poolInfo:PoolInfo
    onAllTasksComplete onTaskFailure networkConfiguration:JobNetworkConfiguration metadata:MetadataItem[]
JobDisable disableTasks
JobTerminate terminateReason
Task id displayName exitConditions:ExitConditions commandLine containerSettings:TaskContainerSettings
    resourceFiles:ResourceFile[] outputFiles:OutputFile[] environmentSettings:EnvironmentSetting[]
    affinityInfo:AffinityInfo constraints:TaskConstraints requiredSlots:int userIdentity:UserIdentity
    multiInstanceSettings:MultiInstanceSettings dependsOn:TaskDependencies
    applicationPackageReferences:ApplicationPackageReference[]
TaskCollection value:Task[]
VirtualMachineConfiguration imageReference!:ImageReference nodeAgentSKUId!
    windowsConfiguration:WindowsConfiguration dataDisks:DataDisk[] licenseType
    containerConfiguration:ContainerConfiguration diskEncryptionConfiguration:DiskEncryptionConfiguration
    nodePlacementConfiguration:NodePlacementConfiguration extensions:VMExtension[] osDisk:OsDisk
    securityProfile:SecurityProfile serviceArtifactReference:ServiceArtifactReference
ImageReference publisher offer sku version virtualMachineImageId sharedGalleryImageId communityGalleryImageId
WindowsConfiguration enableAutomaticUpdates:bool
DataDisk lun!:int caching diskSizeGB!:int managedDisk:ManagedDisk
ManagedDisk diskEncryptionSet:DiskEncryptionSet storageAccountType securityProfile:DiskSecurityProfile
DiskEncryptionSet id
DiskSecurityProfile securityEncryptionType
ContainerConfiguration type! containerImageNames:[] containerRegistries:ContainerRegistry[]
ContainerRegistry username password registryServer identityReference:IdentityReference
IdentityReference resourceId
DiskEncryptionConfiguration customerManagedKey:DiskCustomerManagedKey targets:[]
DiskCustomerManagedKey identityReference:IdentityReference keyUrl rotationToLatestKeyVersionEnabled:bool
NodePlacementConfiguration policy
VMExtension name! publisher! type! typeHandlerVersion autoUpgradeMinorVersion:bool enableAutomaticUpgrade:bool
    settings:object protectedSettings:object provisionAfterExtensions:[]
OsDisk ephemeralOSDiskSettings:DiffDiskSettings caching diskSizeGB:int managedDisk:ManagedDisk
    writeAcceleratorEnabled:bool
DiffDiskSettings placement
SecurityProfile encryptionAtHost:bool proxyAgentSettings:ProxyAgentSettings securityType
    uefiSettings:UefiSettings
ProxyAgentSettings enabled:bool imds:HostEndpointSettings wireServer:HostEndpointSettings
HostEndpointSettings inVMAccessControlProfileReferenceId mode
UefiSettings secureBootEnabled:bool vTpmEnabled:bool
ServiceArtifactReference id!
NetworkConfiguration subnetId dynamicVNetAssignmentScope endpointConfiguration:PoolEndpointConfiguration
    publicIPAddressConfiguration:PublicIPAddressConfiguration enableAcceleratedNetworking:bool
PoolEndpointConfiguration inboundNATPools!:InboundNATPool[]
InboundNATPool name! protocol! backendPort!:int frontendPortRangeStart!:int frontendPortRangeEnd!:int
    networkSecurityGroupRules:NetworkSecurityGroupRule[]
NetworkSecurityGroupRule priority!:int access! sourceAddressPrefix! sourcePortRanges:[]
PublicIPAddressConfiguration provision ipFamilies:[] ipAddressIds:[] ipTags:IPTag[]
IPTag ipTagType tag
StartTask commandLine! containerSettings:TaskContainerSettings resourceFiles:ResourceFile[]
    environmentSettings:EnvironmentSetting[] userIdentity:UserIdentity maxTaskRetryCount:int
    waitForSuccess:bool
TaskContainerSettings containerRunOptions imageName! registry:ContainerRegistry workingDirectory
    containerHostBatchBindMounts:BindMount[]
BindMount source isReadOnly:bool
ResourceFile autoStorageContainerName storageContainerUrl httpUrl blobPrefix filePath fileMode
    identityReference:IdentityReference
EnvironmentSetting name! value
UserIdentity username autoUser:AutoUser
AutoUser scope elevationLevel
ApplicationPackageReference applicationId! version
TaskSchedulingPolicy jobDefaultOrder nodeFillType
UserAccount name! password! elevationLevel linuxUserConfiguration:LinuxUserConfiguration
    windowsUserConfiguration:WindowsUserConfiguration
LinuxUserConfiguration uid:int gid:int sshPrivateKey
WindowsUserConfiguration loginMode
MetadataItem name! value!
MountConfiguration azureBlobFileSystemConfiguration:AzureBlobFileSystem nfsMountConfiguration:NfsMount
    cifsMountConfiguration:CifsMount azureFileShareConfiguration:AzureFileShare
AzureBlobFileSystem accountName! containerName! accountKey sasKey blobfuseOptions relativeMountPath!
    identityReference:IdentityReference
NfsMount source! relativeMountPath! mountOptions
CifsMount username! source! relativeMountPath! mountOptions password!
AzureFileShare accountName! accountKey! azureFileUrl! relativeMountPath! mountOptions
UpgradePolicy mode! automaticOSUpgradePolicy:AutomaticOSUpgradePolicy
    rollingUpgradePolicy:RollingUpgradePolicy
AutomaticOSUpgradePolicy disableAutomaticRollback:bool enableAutomaticOSUpgrade:bool
    useRollingUpgradePolicy:bool osRollingUpgradeDeferral:bool
RollingUpgradePolicy enableCrossZoneUpgrade:bool maxBatchInstancePercent:int maxUnhealthyInstancePercent:int
    maxUnhealthyUpgradedInstancePercent:int pauseTimeBetweenBatches prioritizeUnhealthyInstances:bool
    rollbackFailedInstancesOnPolicyBreach:bool
JobConstraints maxWallClockTime maxTaskRetryCount:int
JobManagerTask id! displayName commandLine! containerSettings:TaskContainerSettings
    resourceFiles:ResourceFile[] outputFiles:OutputFile[] environmentSettings:EnvironmentSetting[]
    constraints:TaskConstraints requiredSlots:int killJobOnCompletion:bool userIdentity:UserIdentity
    runExclusive:bool applicationPackageReferences:ApplicationPackageReference[] allowLowPriorityNode:bool
JobPreparationTask id commandLine! containerSettings:TaskContainerSettings resourceFiles:ResourceFile[]
    environmentSettings:EnvironmentSetting[] constraints:TaskConstraints waitForSuccess:bool
    userIdentity:UserIdentity rerunOnNodeRebootAfterSuccess:bool
JobReleaseTask id commandLine! containerSettings:TaskContainerSettings resourceFiles:ResourceFile[]
    environmentSettings:EnvironmentSetting[] maxWallClockTime retentionTime userIdentity:UserIdentity
PoolInfo poolId autoPoolSpecification:AutoPoolSpecification
AutoPoolSpecification autoPoolIdPrefix poolLifetimeOption! keepAlive:bool pool:Pool
JobNetworkConfiguration subnetId! skipWithdrawFromVNet:bool
OutputFile filePattern! destination!:OutputFileDestination uploadOptions!:OutputFileUploadOptions
OutputFileDestination container!:OutputFileContainer
OutputFileContainer path containerUrl! identityReference:IdentityReference uploadHeaders:HttpHeader[]
OutputFileUploadOptions uploadCondition!
HttpHeader name! value
TaskConstraints maxWallClockTime retentionTime maxTaskRetryCount:int
ExitConditions exitCodes:ExitCodeMapping[] exitCodeRanges:ExitCodeRangeMapping[]
    preProcessingError:ExitOptions fileUploadError:ExitOptions default:ExitOptions
ExitCodeMapping code!:int exitOptions!:ExitOptions
ExitCodeRangeMapping start!:int end!:int exitOptions!:ExitOptions
ExitOptions jobAction dependencyAction
AffinityInfo affinityId!
MultiInstanceSettings numberOfInstances:int coordinationCommandLine! commonResourceFiles:ResourceFile[]
TaskDependencies taskIds:[] taskIdRanges:TaskIdRange[]
TaskIdRange start!:int end!:int
"""
_PRIMITIVES: Mapping[str, tuple[str, type]] = {
    "": ("Edm.String", str),
    "int": ("Edm.Int32", int),
    "bool": ("Edm.Boolean", bool),
}
_INT32 = range(-(2**31), 2**31)
# Members of pools, jobs and tasks that only the service writes.
_WRITTEN = frozenset(
    [
        "allocationState",
        "allocationStateTransitionTime",
        "autoScaleRun",
        "creationTime",
        "currentDedicatedNodes",
        "currentLowPriorityNodes",
        "eTag",
        "executionInfo",
        "lastModified",
        "nodeInfo",
        "previousState",
        "previousStateTransitionTime",
        "resizeErrors",
        "state",
        "stateTransitionTime",
        "stats",
        "url",
    ]
)


@dataclass(frozen=True)
class _Member:
    name: str
    type: str
    is_list: bool
    is_required: bool


def _member(text: str) -> _Member:
    name, _, kind = text.partition(":")
    return _Member(name.rstrip("!"), kind.removesuffix("[]"), kind.endswith("[]"), name.endswith("!"))


_SHAPES: Mapping[str, tuple[_Member, ...]] = {
    name: tuple(_member(text) for text in members)
    for name, *members in (entry.split() for entry in re.split(r"\n(?=\w)", _TABLE.strip()))
}


def check_types(body: Mapping[str, Any], shape: str, path: str = "") -> None:
    """Refuse a body with a member of another JSON type than the service reads there.

    `shape` names a type of the table. Raise BatchError `InvalidRequestBody`, whose `Reason` tells the member.
    """
    for member in _SHAPES[shape]:
        if member.name not in body:
            continue
        value, name = body[member.name], f"{path}{member.name}"
        if not member.is_list:
            _check_one(member.type, value, name)
            continue
        if not isinstance(value, list):
            raise _unexpected(value, "StartArray", name)
        for element in value:
            _check_one(member.type, element, name)


def _check_one(kind: str, value: object, name: str) -> None:
    if kind not in _PRIMITIVES:
        if not isinstance(value, dict):
            raise _unexpected(value, "StartObject", name)
        if kind != "object":
            check_types(value, kind, f"{name}.")
        return
    if isinstance(value, dict | list):
        raise _unexpected(value, "PrimitiveValue", name)
    expected, python = _PRIMITIVES[kind]
    if type(value) is not python or (isinstance(value, int) and value not in _INT32):
        raise BatchError(
            "InvalidRequestBody",
            Reason=f"Cannot convert a primitive value to the expected type '{expected}' for property named '{name}'.",
        )


def _unexpected(value: object, expected: str, name: str) -> BatchError:
    kinds: Mapping[type, str] = {dict: "StartObject", list: "StartArray"}
    found = kinds.get(type(value), "PrimitiveValue")
    return BatchError(
        "InvalidRequestBody",
        Reason=f"An unexpected '{found}' node was found for property named '{name}' when reading from the JSON "
        f"reader. A '{expected}' node was expected.",
    )


def check_complete(body: Mapping[str, Any], shape: str, path: str = "") -> None:
    """Refuse a body, whose types are right, when an object inside it lacks a member that it must have.

    Raise BatchError `MissingRequiredProperty` with the member's name behind those of the objects around it.
    """
    for member in _SHAPES[shape]:
        if member.name not in body:
            if member.is_required:
                raise missing(f"{path}{member.name}")
        elif member.type in _SHAPES:
            value = body[member.name]
            for each in value if member.is_list else [value]:
                check_complete(each, member.type, f"{path}{member.name}.")


def without_written(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a pool, job or task without what only the service writes into it."""
    return {name: value for name, value in body.items() if name not in _WRITTEN}
