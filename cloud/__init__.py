"""The gateway to Azure: typed plain values in and out, and the only code that imports an Azure SDK."""
