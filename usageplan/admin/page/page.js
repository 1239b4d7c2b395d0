for(const b of document.querySelectorAll("button[data-copy]")){
b.hidden=false
b.addEventListener("click",async()=>{
const f=document.getElementById(b.dataset.copy)
f.select()
try{await navigator.clipboard.writeText(f.value)}catch{document.execCommand("copy")}
b.textContent="Copied"
})}
