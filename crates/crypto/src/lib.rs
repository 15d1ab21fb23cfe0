//! Keys, signatures and digests behind one provider.
