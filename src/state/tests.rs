//! Crashes at every step of writing, damage, wrong keys, and modes of the file.

mod broadcasting;
mod crash;
mod disk;
mod files;
mod issuing;
mod outside;
