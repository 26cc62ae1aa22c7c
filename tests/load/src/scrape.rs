//! Reading the fleet's metrics page.

use std::time::Duration;

/// One reading of the page.
pub(crate) struct Page(String);

pub(crate) struct Scraper {
    client: reqwest::Client,
    url: String,
}

impl Scraper {
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).build()?;
        Ok(Self { client, url: url.to_owned() })
    }

    pub(crate) async fn read(&self) -> anyhow::Result<Page> {
        Ok(Page(self.client.get(&self.url).send().await?.error_for_status()?.text().await?))
    }
}

impl Page {
    /// The sum of all series of this name whose labels contain the text.
    pub(crate) fn sum(&self, name: &str, label: &str) -> u64 {
        let values = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let labels = series.strip_prefix(name)?;
            (labels.is_empty() || labels.starts_with('{')).then_some(())?;
            labels.contains(label).then(|| value.parse::<f64>().unwrap_or(0.0))
        });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counters are whole and positive"
        )]
        let sum = values.sum::<f64>() as u64;
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_series_with_the_label_is_summed() {
        let page =
            Page("# HELP a b\na_total{x=\"1\"} 3\na_total{x=\"2\"} 4\na_total_more{x=\"1\"} 9\nb 5\n".into());
        assert_eq!(page.sum("a_total", "x=\"1\""), 3);
        assert_eq!(page.sum("a_total", ""), 7);
        assert_eq!(page.sum("b", ""), 5);
    }
}
