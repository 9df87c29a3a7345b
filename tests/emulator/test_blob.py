from typing import Any
from azure.storage.blob import BlobServiceClient
def test_a(emulator: dict[str, Any]) -> None:
    b = emulator["blob"]
    c = BlobServiceClient(b["url"], credential={"account_name": b["account"], "account_key": b["key"]}, connection_verify=emulator["ca"])
    k = c.create_container("first")
    k.upload_blob("a b/ü%.txt", b"hallo", metadata={"x_1": "y", "x1": "z"})
    assert [x.name for x in k.list_blobs()] == ["a b/ü%.txt"]
    assert k.download_blob("a b/ü%.txt").readall() == b"hallo"
    print(k.get_blob_client("a b/ü%.txt").get_blob_properties())
