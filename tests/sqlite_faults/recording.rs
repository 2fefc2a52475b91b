//! What a worker did to its folder, read from what `strace` wrote down.

use std::collections::HashMap;

use super::worker::Told;

/// Something that happened, in order.
#[derive(Debug, Clone)]
pub(crate) enum Happened {
    /// A file got a name in the folder.
    Created(String),
    Removed(String),
    Written {
        name: String,
        offset: usize,
        bytes: Vec<u8>,
    },
    Cut {
        name: String,
        length: usize,
    },
    /// A file was brought to disk, with all that had happened before this began.
    Synced {
        name: String,
        begun: usize,
    },
    FolderSynced {
        begun: usize,
    },
    Told(Told),
}

/// Reads a log of `strace -f -y -xx`. The folder's path is what names are in.
pub(crate) fn read(log: &str, folder: &str) -> Vec<Happened> {
    let mut recording = Vec::new();
    // Calls of threads that another thread came between.
    let mut begun: HashMap<&str, (usize, String)> = HashMap::new();
    for line in log.lines() {
        let (thread, text) = line.split_once(' ').expect("a thread, then a call");
        let text = text.trim_start();
        if let Some(start) = text.strip_suffix("<unfinished ...>") {
            begun.insert(thread, (recording.len(), start.to_owned()));
            continue;
        }
        let (since, call) = match text.strip_prefix("<... ") {
            None => (recording.len(), text.to_owned()),
            Some(rest) => {
                let (_, end) = rest.split_once("resumed>").expect("it was resumed");
                let (since, start) = begun.remove(thread).expect("it was begun");
                (since, start + end)
            }
        };
        let call = Call { text: &call, folder };
        recording.extend(call.happened(since));
    }
    recording
}

/// A line of the log: `name(argument, …) = result`.
struct Call<'a> {
    text: &'a str,
    folder: &'a str,
}

impl Call<'_> {
    fn happened(&self, since: usize) -> Option<Happened> {
        let (name, rest) = self.text.split_once('(')?;
        let (arguments, result) = rest.rsplit_once(" = ")?;
        let arguments: Vec<&str> = arguments.trim_end().trim_end_matches(')').split(", ").collect();
        assert!(!result.starts_with('-') || name == "openat" || name == "unlink", "{}", self.text);
        let number = |n: usize| arguments[n].trim().parse().expect("it is a number");
        let file = || self.name_of(arguments[0]);
        match name {
            "pwrite64" => {
                let (bytes, offset) = (unquoted(arguments[1]), number(3));
                assert_eq!(result, bytes.len().to_string(), "all of it was written");
                Some(Happened::Written { name: file()?, offset, bytes })
            }
            "write" => {
                Told::read(std::str::from_utf8(&unquoted(arguments[1])).ok()?).map(Happened::Told)
            }
            "ftruncate" => Some(Happened::Cut { name: file()?, length: number(1) }),
            "fsync" | "fdatasync" => Some(match file()?.as_str() {
                "" => Happened::FolderSynced { begun: since },
                name => Happened::Synced { name: name.to_owned(), begun: since },
            }),
            "openat" if arguments[2].contains("O_CREAT") && !result.starts_with('-') => {
                Some(Happened::Created(self.name_of(result)?))
            }
            "unlink" if result == "0" => Some(Happened::Removed(self.name_of(arguments[0])?)),
            "rename" => panic!("nothing here is renamed: {}", self.text),
            _ => None,
        }
    }

    /// The name in the folder that a descriptor or a path has; none of the folder itself.
    fn name_of(&self, argument: &str) -> Option<String> {
        let (_, path) = argument.split_once(['<', '"'])?;
        let path = String::from_utf8(unquoted(path)).ok()?;
        let name = path.strip_prefix(self.folder)?;
        Some(name.trim_start_matches('/').to_owned())
    }
}

/// The bytes of `"\x00\x01…"`, with or without its quotes.
fn unquoted(text: &str) -> Vec<u8> {
    let digits = text.trim_matches(['"', '>']).split("\\x").skip(1);
    let byte = |digits: &str| u8::from_str_radix(digits, 16).expect("it is hexadecimal");
    digits.map(byte).collect()
}
