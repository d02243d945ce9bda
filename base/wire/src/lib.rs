//! What roles say to each other, one file a conversation.
