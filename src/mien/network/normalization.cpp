#include "mien/network/normalization.h"

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"

namespace mien::network {
namespace {

constexpr std::string_view kDatasetPrefix = "dataset(";

}  // namespace

std::string Normalization::text() const {
  switch (kind) {
    case Kind::scale:
      return "scale";
    case Kind::per_image:
      return "per-image";
    case Kind::dataset:
      break;
  }
  return fmt::format("{}{},{})", kDatasetPrefix, format_double(mean), format_double(deviation));
}

Normalization Normalization::parse(const std::string& text) {
  if (text == "scale") return {.kind = Kind::scale};
  if (text == "per-image") return {.kind = Kind::per_image};
  if (text.starts_with(kDatasetPrefix) && text.ends_with(")")) {
    const std::string_view inside =
        std::string_view(text).substr(kDatasetPrefix.size(), text.size() - kDatasetPrefix.size() - 1);
    const std::vector<std::string> parts = split(inside, ',');
    const auto mean = parse_double(parts[0]);
    const auto deviation = parts.size() == 2 ? parse_double(parts[1]) : std::nullopt;
    if (mean && deviation && *deviation > 0) return {.kind = Kind::dataset, .mean = *mean, .deviation = *deviation};
  }
  throw_bad_data(
      fmt::format("the normalization is {}, expected 'scale', 'per-image' or 'dataset(MEAN,DEVIATION)' with a "
                  "deviation above 0",
                  quote_sample(text)));
}

}  // namespace mien::network
