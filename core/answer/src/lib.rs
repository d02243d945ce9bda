//! What an authoritative server says to a question.
