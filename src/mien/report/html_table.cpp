#include "mien/report/html_table.h"

#include <cctype>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"

namespace mien::report {
namespace {

/// Whether `cell` begins with a number (perhaps signed, bracketed or marked +-), or says that there is none.
bool is_numeric(const std::string& cell) {
  if (cell.empty() || cell == "-") return true;
  const size_t digit = cell.find_first_not_of("+-.([~<>=");
  return digit != std::string::npos && std::isdigit(static_cast<unsigned char>(cell[digit])) != 0;
}

}  // namespace

HtmlTable::HtmlTable(std::vector<std::string> header, std::string caption)
    : header_(std::move(header)), caption_(std::move(caption)) {}

void HtmlTable::add_row(std::vector<std::string> cells) {
  if (cells.size() != header_.size()) {
    throw_failed(fmt::format("a table row has {} cells, expected {}", cells.size(), header_.size()));
  }
  rows_.push_back(std::move(cells));
}

std::string HtmlTable::html() const {
  std::vector<bool> numeric(header_.size(), true);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) numeric[i] = numeric[i] && is_numeric(row[i]);
  }
  const auto line = [&](const std::vector<std::string>& cells, std::string_view element) {
    std::string html = "<tr>";
    for (size_t i = 0; i < cells.size(); ++i) {
      html += fmt::format("<{0}{1}>{2}</{0}>", element, numeric[i] ? " class=\"number\"" : "", escape_html(cells[i]));
    }
    return html + "</tr>\n";
  };
  std::string html = "<table>\n";
  if (!caption_.empty()) html += fmt::format("<caption>{}</caption>\n", escape_html(caption_));
  html += "<thead>" + line(header_, "th") + "</thead>\n<tbody>\n";
  for (const auto& row : rows_) html += line(row, "td");
  return html + "</tbody>\n</table>\n";
}

}  // namespace mien::report
