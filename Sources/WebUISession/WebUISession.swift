// WebUISession
