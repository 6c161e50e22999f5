//! The receiving side: MUKs and MSKs held, acceptance rules, one message in, one outcome out.
