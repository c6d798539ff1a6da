#include "mien/report/app_page.h"

#include <span>
#include <stdexcept>

#include <fmt/format.h>

#include "mien/core/embedded.h"
#include "mien/core/files.h"
#include "mien/core/text.h"

namespace mien {
std::span<const EmbeddedFile> web_files();
}

namespace mien::report {
namespace {

std::string_view web_file(std::string_view name) {
  for (const EmbeddedFile& file : web_files()) {
    if (file.name == name) return file.text;
  }
  throw std::logic_error(fmt::format("web/dist holds no {}", name));
}

}  // namespace

AppFiles app_files() {
  return {.script = web_file("app"), .style = web_file("style"), .script_hash = trim(web_file("hash"))};
}

std::string json_for_script(std::string_view json) {
  std::string safe;
  safe.reserve(json.size());
  for (const char c : json) {
    if (c == '<') {
      safe += "\\u003c";  // in JSON a '<' stands inside strings only
    } else {
      safe += c;
    }
  }
  return safe;
}

void write_app_page(const std::filesystem::path& path, std::string_view title, std::string_view document) {
  const AppFiles app = app_files();
  const std::string name = escape_html(title);
  write_atomic(path, [&](const auto& sink) {
    sink(fmt::format(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data: blob:; style-src "
        "'unsafe-inline'; script-src '{}'; base-uri 'none'; form-action 'none'\">\n"
        "<title>{}</title>\n<style>",
        app.script_hash,
        name));
    sink(app.style);
    sink(
        fmt::format("</style>\n</head>\n<body>\n<noscript><h1>{}</h1><p>This page needs JavaScript, which runs from "
                    "this file alone. <code>mien report --plain FOLDER</code> writes a page without.</p></noscript>\n"
                    "<div id=\"app\"></div>\n<script type=\"application/json\" id=\"document\">",
                    name));
    sink(json_for_script(document));
    sink("</script>\n<script>");
    sink(app.script);
    sink("</script>\n</body>\n</html>\n");
  });
}

}  // namespace mien::report
