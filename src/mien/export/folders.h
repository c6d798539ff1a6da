#pragma once

#include <string>
#include <utility>
#include <vector>

#include "mien/export/frozen.h"

namespace mien::exporting {

/// Files of an export: names below its folder ("" for the export itself) and contents.
using Files = std::vector<std::pair<std::string, std::string>>;

/// libmien_infer, its header, `weights` and an example in C and one in Python. Throws Error(failed) where the library
/// is not beside this program.
Files c_folder(std::string weights);

/// A page for any static server: the model, what runs it in a browser, and the page. Throws Error(failed) where the
/// runtime is not on this machine (script/web-runtime fetches it).
Files web_folder(const FrozenNetwork& network);

}  // namespace mien::exporting
