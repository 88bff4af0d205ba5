// WebUIClient
