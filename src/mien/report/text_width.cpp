#include "mien/report/text_width.h"

#include <cstdint>

namespace mien::report {
namespace {

/// Advance widths of the characters from ' ' to '~' in thousandths of the font's size.
/// @source table hmtx of DejaVuSans.ttf 2.37
constexpr int kAdvances[95] = {318,  401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337,
                               636,  636, 636, 636, 636, 636, 636, 636, 636, 636, 337, 337, 838, 838, 838, 531,
                               1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863, 748, 787,
                               603,  787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838, 500,
                               500,  613, 635, 550, 635, 615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612,
                               635,  635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636, 337, 636, 838};

/// Advance of the character whose first byte is `byte`; 0 for a byte inside a character.
int advance(uint8_t byte) {
  if (byte >= ' ' && byte <= '~') return kAdvances[byte - ' '];
  if (byte >= 0x80 && byte < 0xc0) return 0;
  return byte >= 0xe3 ? 1000 : 640;
}

}  // namespace

double text_width(std::string_view text, double points) {
  int64_t thousandths = 0;
  for (const char c : text) thousandths += advance(static_cast<uint8_t>(c));
  return static_cast<double>(thousandths) * points * 4 / 3 / 1000;
}

std::string fit_text(std::string_view text, double points, double width) {
  if (text_width(text, points) <= width) return std::string(text);
  const double room = width - 1.0 * points * 4 / 3;  // the ellipsis is as wide as the font is high
  size_t end = 0;
  for (size_t next = 1; next <= text.size(); ++next) {
    const bool at_boundary = next == text.size() || (static_cast<uint8_t>(text[next]) & 0xc0) != 0x80;
    if (!at_boundary) continue;
    if (text_width(text.substr(0, next), points) > room) break;
    end = next;
  }
  while (end > 0 && text[end - 1] == ' ') --end;
  return std::string(text.substr(0, end)) + "\u2026";
}

}  // namespace mien::report
