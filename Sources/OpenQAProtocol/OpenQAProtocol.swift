// OpenQAProtocol
